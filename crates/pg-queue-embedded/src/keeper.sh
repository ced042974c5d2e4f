# Keeps one private server: makes it, runs it, and stops and deletes it at the end of standard input, which is a pipe
# whose other end only the owner holds. However the owner ends, killed included, its end closes and this script knows.
#
# Arguments: the private folder, the folder of the programs, then arguments for `postgres`.
# Orders, one a line on the pipe: `INT` and `QUIT` send the server that signal; `start` runs it once more after it has
# ended. The first run needs no order. The owner repeats a signal until the server has ended.
# Files in the folder: `data`; `log` of both programs; `pid` of the server, empty while there is none; `ended.1` once
# the first run has ended, `ended.2` after the second, so that nobody takes the end of one run for that of another.
folder=$1 programs=$2
shift 2

PATH=$PATH:/usr/bin:/bin
# The folder keeps strangers out; in it, the owner may read the log even if that is another user.
umask 022
# A job in the background loses its standard input, but not another descriptor.
exec 3<&0 </dev/null >"$folder/log" 2>&1

# Not when the run has ended, because the number of its server may be another process by now. A server that ends at
# this moment is no news for the log.
signal() {
    if [ -e "$folder/ended.$run" ]; then return; fi
    kill -"$1" "$server" 2>/dev/null
    # A test may have frozen it.
    kill -CONT "$server" 2>/dev/null
}

# Does what the owner orders during and after one run: succeeds when there is to be another one, fails when the owner
# has ended and the server with it. Waits for nothing in between, or else it would miss the end of the owner.
obey() {
    while read -r order; do
        if [ "$order" != start ]; then
            signal "$order"
        elif [ -e "$folder/ended.$run" ]; then
            return 0
        fi
    done
    # More than once, because a server that has only just begun does not hear the signal yet. An owner that has lost
    # patience deletes the folder itself, and then only the server can tell that it has ended.
    while [ ! -e "$folder/ended.$run" ] && kill -0 "$server" 2>/dev/null; do
        signal QUIT
        sleep 0.02 || sleep 1
    done
    return 1
}

server='' made=''
if "$programs/initdb" --pgdata="$folder/data" --username=postgres --auth=trust --encoding=UTF8 --no-locale \
    --no-sync --no-instructions
then
    made=yes
fi

# From here on only the owner ends this script: no signal, and no `:` below, which would if it could not write.
trap '' HUP INT QUIT TERM

run=0
while
    run=$((run + 1))
    if [ -n "$made" ]; then
        # The server has its own ways with signals, and no business with the pipe.
        (trap - HUP INT QUIT TERM; exec "$programs/postgres" -D "$folder/data" "$@" 3<&-) &
        server=$!
        echo "$server" >"$folder/pid"
    fi
    obey <&3 &
    orders=$!
    if [ -n "$made" ]; then
        wait "$server"
        true >"$folder/pid"
    fi
    true >"$folder/ended.$run"
    wait "$orders"
do :; done
rm -rf "$folder"
