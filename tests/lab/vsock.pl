# SPDX-License-Identifier: Apache-2.0
# Both ends of vsock connections, in the guest and on the host. It uses no modules, not even strict:
# the guest has none.
#
#   serve ADDRESS          gives back what each connection brings, to its end; for ever
#   talk ADDRESS           one connection: standard input out, what comes to standard output
#   many ADDRESS COUNT     so many connections at once, a word and its echo on each
#
# ADDRESS is unix:PATH, vsock:CID:PORT (-1 for any CID), or guest:PATH:PORT, a port of the guest by
# the socket of its machine.
sub AF_UNIX() { 1 }
sub AF_VSOCK() { 40 }
sub SOCK_STREAM() { 1 }
sub SHUT_WR() { 1 }
sub PIECE() { 65536 }

# The family and the address as the kernel wants it.
sub address {
    my ($kind, $first, $second) = split /:/, shift;
    return (AF_VSOCK, pack 'S S L L x4', AF_VSOCK, 0, $second, $first & 0xffffffff)
        if $kind eq 'vsock';
    return (AF_UNIX, pack 'S a108', AF_UNIX, $first);
}

sub new_socket {
    my $family = shift;
    socket my $socket, $family, SOCK_STREAM, 0 or die "socket: $!\n";
    return $socket;
}

sub write_all {
    my ($socket, $bytes) = @_;
    for (my $done = 0; $done < length $bytes;) {
        $done += syswrite($socket, $bytes, PIECE, $done) // die "write: $!\n";
    }
}

sub read_line {
    my ($socket, $line) = (shift, '');
    until ($line =~ /\n$/) {
        sysread($socket, $line, 1, length $line) or die "refused after \"$line\"\n";
    }
    return $line;
}

sub connect_to {
    my $where = shift;
    my ($family, $address) = address $where;
    my $socket = new_socket $family;
    connect $socket, $address or die "connect to $where: $!\n";
    return $socket unless $where =~ /^guest:.*:(\d+)$/;
    write_all $socket, "CONNECT $1\n";
    my $answer = read_line $socket;
    $answer =~ /^OK \d+\n$/ or die "answer: $answer";
    return $socket;
}

# One process for all connections; a peer reads while it writes, so writing may wait.
sub serve {
    my ($family, $address) = address shift;
    my $listener = new_socket $family;
    bind $listener, $address or die "bind: $!\n";
    listen $listener, 4096 or die "listen: $!\n";
    my %sockets = (fileno $listener, $listener);
    for (;;) {
        my $watched = '';
        vec($watched, $_, 1) = 1 for keys %sockets;
        select my $ready = $watched, undef, undef, undef;
        for my $fd (grep { vec $ready, $_, 1 } keys %sockets) {
            if ($fd == fileno $listener) {
                accept my $socket, $listener or die "accept: $!\n";
                $sockets{fileno $socket} = $socket;
            } elsif (sysread $sockets{$fd}, my $bytes, PIECE) {
                write_all $sockets{$fd}, $bytes;
            } else {
                delete $sockets{$fd};
            }
        }
    }
}

sub talk {
    my $socket = connect_to shift;
    my $child = fork // die "fork: $!\n";
    if ($child == 0) {
        while (sysread STDIN, my $bytes, PIECE) {
            write_all $socket, $bytes;
        }
        shutdown $socket, SHUT_WR;
        exit 0;
    }
    while (sysread $socket, my $bytes, PIECE) {
        write_all *STDOUT, $bytes;
    }
    waitpid $child, 0;
    die "the writer failed\n" if $?;
}

sub many {
    my ($where, $count) = @_;
    my @sockets = map { connect_to $where } 1 .. $count;
    write_all $sockets[$_], "word $_\n" for 0 .. $#sockets;
    for (0 .. $#sockets) {
        my $line = read_line $sockets[$_];
        $line eq "word $_\n" or die "connection $_: $line";
    }
    print "$count right\n";
}

my %actions = (serve => \&serve, talk => \&talk, many => \&many);
$SIG{PIPE} = 'IGNORE';
my $action = $actions{shift @ARGV} or die "serve, talk or many\n";
$action->(@ARGV);
