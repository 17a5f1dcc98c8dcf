"""The arena: the same work under everything that one might use for it, side by side.

__main__    the entry, and nothing else: spawned processes import it
command     the command from start to end
page        the page of the docs, from the records
chart       the records as SVG
table       the records as text and Markdown
measure     one workload under every contender
stage       the process of its own that each contender is in
contenders  the ways to run calls
workloads   the calls
calls       the functions that are called
scene       what they need of the outside: a folder of files, a server
server      that server
records     what was measured; to JSON and back
"""
