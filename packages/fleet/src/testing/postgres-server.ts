import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

/** A PostgreSQL server of a test's own, in a temporary folder. */
export interface PostgresServer {
  /** @param user whoever connects; by default the owner */
  url(user?: string): string;
  /** Stops it as a power cut does, and starts it again. */
  restart(): void;
  stop(): void;
}

/** Where Debian has the programs of its newest PostgreSQL; `undefined` where there is none. */
export function postgresPrograms(): string | undefined {
  const all = '/usr/lib/postgresql';
  if (!existsSync(all)) return undefined;
  const [newest] = readdirSync(all).sort((a, b) => Number(b) - Number(a));
  const folder = newest === undefined ? undefined : join(all, newest, 'bin');
  return folder !== undefined && existsSync(join(folder, 'initdb')) ? folder : undefined;
}

/** Starts one, which takes some seconds. @param parent where its folder is made */
export async function startPostgres(programs: string, parent = tmpdir()): Promise<PostgresServer> {
  const folder = mkdtempSync(join(parent, 'heki-postgres-'));
  const data = join(folder, 'data');
  const port = await freePort();
  const isRoot = userInfo().uid === 0;
  // The server refuses to run as root.
  if (isRoot) chownSync(folder, Number(idOf('-u')), Number(idOf('-g')));
  const run = (program: string, ...args: readonly string[]): void => {
    const command = [join(programs, program), ...args];
    const [file = '', ...rest] = isRoot ? ['setpriv', ...AS_POSTGRES, '--', ...command] : command;
    execFileSync(file, rest, { cwd: folder, stdio: 'ignore' });
  };
  run('initdb', '--no-sync', '--auth=trust', '--username=owner', '--encoding=UTF8', '--locale=C', data);
  const options = `-c listen_addresses=127.0.0.1 -c port=${port} -c unix_socket_directories=${folder} -c max_connections=60`;
  const start = (): void =>
    run('pg_ctl', '-D', data, '-w', '-o', options, '-l', join(folder, 'log'), 'start');
  start();
  return {
    url: (user = 'owner') => `postgres://${user}@127.0.0.1:${port}/postgres`,
    restart() {
      run('pg_ctl', '-D', data, '-m', 'immediate', 'stop');
      start();
    },
    stop() {
      run('pg_ctl', '-D', data, '-m', 'immediate', 'stop');
      rmSync(folder, { recursive: true });
    },
  };
}

const AS_POSTGRES = ['--reuid=postgres', '--regid=postgres', '--clear-groups'];

function idOf(which: '-u' | '-g'): string {
  return spawnSync('id', [which, 'postgres'], { encoding: 'utf8' }).stdout.trim();
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
