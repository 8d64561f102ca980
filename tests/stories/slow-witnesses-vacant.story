at 5s witness-delay 10.0.0.251 100s
at 5s witness-delay 10.0.0.252 100s
at 5s witness-delay 10.0.0.253 100s
at 5s witness-delay 10.0.0.254 100s
at 150s force-standby gw1
at 151s force-standby gw2
at 152s online gw1
at 152s online gw2
until 300s
