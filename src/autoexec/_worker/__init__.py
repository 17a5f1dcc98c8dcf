"""The far side of a process. It imports little, since every worker pays for it at its start."""
