# in the end gw2 serves
at 20s digest gw2 7
at 21s stop gw2
at 22s start gw2
at 30s cut lan
at 40s hang-guard gw1
until 600s
