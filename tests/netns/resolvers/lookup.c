/*
 * Asks the C library that it was built with: `lookup NAME` prints the addresses of a name, each on a
 * line, and `lookup -x ADDRESS` the name of an address. Built with glibc and with musl.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, gai_strerror(error));
	return 1;
}

static int reverse(const char *address)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char name[NI_MAXHOST];
	int error = getaddrinfo(address, NULL, &hints, &found);
	if (error)
		return fail(address, error);
	error = getnameinfo(found->ai_addr, found->ai_addrlen, name, sizeof name, NULL, 0,
			    NI_NAMEREQD);
	if (error)
		return fail(address, error);
	puts(name);
	return 0;
}

static int forward(const char *name)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	char address[NI_MAXHOST];
	int error = getaddrinfo(name, NULL, &hints, &found);
	if (error)
		return fail(name, error);
	for (struct addrinfo *one = found; one; one = one->ai_next) {
		error = getnameinfo(one->ai_addr, one->ai_addrlen, address, sizeof address, NULL, 0,
				    NI_NUMERICHOST);
		if (error)
			return fail(name, error);
		puts(address);
	}
	return 0;
}

int main(int count, char **arguments)
{
	if (count == 3 && !strcmp(arguments[1], "-x"))
		return reverse(arguments[2]);
	if (count == 2)
		return forward(arguments[1]);
	fputs("lookup NAME | lookup -x ADDRESS\n", stderr);
	return 2;
}
