# in the end gw2 serves
at 30s hang-guard gw1
at 60s reload gw2
until 100s
