at 20s cut lan
at 30s hang-guard gw1
at 30820ms cut serial
at 30830ms continue gw1
at 35000ms hang-guard gw1
at 35400ms mend serial
until 45s
