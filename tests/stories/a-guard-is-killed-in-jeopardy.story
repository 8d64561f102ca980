# in the end gw2 serves
at 20s cut lan
at 30s kill-guard gw1
until 180s
