"""Asks as Python programs do: `lookup.py NAME` prints the addresses of a name, each on a line, and
`lookup.py -x ADDRESS` the name of an address."""

import socket
import sys


def main(arguments):
    try:
        if len(arguments) == 2 and arguments[0] == "-x":
            print(socket.getnameinfo((arguments[1], 0), socket.NI_NAMEREQD)[0])
        else:
            (name,) = arguments
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            print("\n".join(sorted({address[0] for *_, address in found})))
    except OSError as error:
        sys.exit(f"{arguments}: {error}")


main(sys.argv[1:])
