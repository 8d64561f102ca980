at 30s cut serial
at 30950ms cut lan from-gw1
until 80s
