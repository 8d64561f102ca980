# in the end gw1 serves
at 20s cut serial
at 60s delay lan 200ms
until 660s
