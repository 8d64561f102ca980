# Stands for OpenWrt's: users and groups alone.
group_add_next() {
    gid=$(grep "^$1:" /etc/group | cut -d: -f3)
    if [ -z "$gid" ]; then
        gid=32768
        echo "$1:x:$gid:" >>/etc/group
    fi
    echo "$gid"
}
user_exists() { grep -q "^$1:" /etc/passwd; }
user_add() { echo "$1:x:${2:-32768}:$3:$4:$5:$6" >>/etc/passwd; }
