# in the end gw2 serves
at 30s hang-guard gw1
at 60s stall gw2 700ms
until 100s
