# Stands for OpenWrt's, of which nothing is used.
