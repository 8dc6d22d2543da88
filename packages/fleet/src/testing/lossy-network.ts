import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** A network namespace whose only way out is a cable to a port here. */
export interface LossyNetwork {
  /** What starts a program in it. */
  readonly within: readonly string[];
  /** Where the port is, as seen from there. */
  readonly host: string;
  readonly port: number;
  /** Drops every packet in both directions, without a word to anybody, or no more. */
  drop(all: boolean): void;
  close(): void;
}

const NAME = `heki-${process.pid}`;
const [HERE, THERE] = ['10.213.77.1', '10.213.77.2'];
/** Names of network devices have 15 characters at most. */
const CABLE = `hk${process.pid}`;

/** Makes it; what comes to it goes on to `port` of this machine. It takes root, `ip` and `iptables`. */
export async function createLossyNetwork(port: number): Promise<LossyNetwork> {
  const ip = (...args: readonly string[]) => execFileSync('ip', args);
  ip('netns', 'add', NAME);
  ip('link', 'add', CABLE, 'type', 'veth', 'peer', 'name', 'out', 'netns', NAME);
  ip('addr', 'add', `${HERE}/30`, 'dev', CABLE);
  ip('link', 'set', CABLE, 'up');
  ip('-n', NAME, 'addr', 'add', `${THERE}/30`, 'dev', 'out');
  ip('-n', NAME, 'link', 'set', 'out', 'up');
  const server = createServer((from) => {
    const to = connect(port, '127.0.0.1');
    from.pipe(to).pipe(from);
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const)
      one.on('error', () => other.destroy());
  }).listen(0, HERE);
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const within = ['ip', 'netns', 'exec', NAME];
  return {
    within,
    host: HERE,
    port: address.port,
    drop(all) {
      const [, ...args] = [...within, 'iptables', all ? '-A' : '-D'];
      for (const chain of ['INPUT', 'OUTPUT']) execFileSync('ip', [...args, chain, '-j', 'DROP']);
    },
    close() {
      server.close();
      // The cable goes with it.
      ip('netns', 'del', NAME);
    },
  };
}
