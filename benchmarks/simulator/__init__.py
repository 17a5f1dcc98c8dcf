"""The decision loop against a virtual machine: hundreds of workloads, up to 128 cores, in seconds.

    machine     a virtual clock, cores, a GIL in each process, resources
    workloads   what calls are like: named ones, and a seeded generator
    plans       what an expert would pick by hand, each played on the same machine
    driver      the driver of the real scheduler on that machine
    table       time over the best plan's, by kind of workload

`python -m benchmarks.simulator` prints the table.
"""
