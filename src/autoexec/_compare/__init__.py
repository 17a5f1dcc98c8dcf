"""The command `compare`: the same real tasks under every way to run them.

command   what the command does from start to end
table     results as text
charts    results as a page
measure   one task under each of its ways
server    the local HTTP server: the process it is, and how to start it
tasks     the functions, and the input of each
files     which files of the standard library are the input
"""
