"""The local backend: a light scheduler, a zygote, and a forked worker per job."""
