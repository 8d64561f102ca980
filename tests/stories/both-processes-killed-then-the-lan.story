at 30s kill gw1
at 30300ms cut lan
until 45s
