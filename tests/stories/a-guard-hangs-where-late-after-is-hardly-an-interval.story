# in the end gw2 serves
at 30s cut lan
at 40s hang-guard gw1
until 600s
