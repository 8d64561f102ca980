at 5s witness-delay 10.0.0.251 100s
at 5s witness-delay 10.0.0.252 100s
at 5s witness-delay 10.0.0.253 100s
at 5s witness-delay 10.0.0.254 100s
at 150s power-cut gw1
until 300s
