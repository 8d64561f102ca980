at 30s cut serial
at 30250ms cut lan both
at 30670ms mend lan
until 45s
