"""What `bin/doctor` does: facts of every rank, checks on them, the speed of an allreduce, and a report."""
