"""Reading from object stores and other remote file systems: whole bodies or an error, never half of one."""
