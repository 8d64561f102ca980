# in the end gw2 serves
at 30s hang-guard gw2
at 100s power-cut gw1
at 110s continue gw2
until 600s
