"""Worker processes and the supervision of them.

pool           workers and the jobs that they serve; replaces the dead
dealing        which worker gets which chunk
idling         how long workers wait for the next run
job            a function, the chunks of it that wait, and who hears of their outcomes
worker         one process, seen from here
said           what it has said, or its end says, as blocks and errors
death          how a process ended, in words
outlet         frames into a pipe, without ever waiting for it
spawn          starts an interpreter, with pipes and the memory for its notes
surroundings   what a worker must know of this process; what it logs and warns of
shared         the pool that all runs of this process share
"""
