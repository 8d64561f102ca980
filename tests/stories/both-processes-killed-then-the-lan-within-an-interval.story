# in the end gw2 serves
at 30s kill gw1
at 30950ms cut lan
until 120s
