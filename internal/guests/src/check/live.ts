import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Qmp } from '../qmp.ts';
import type { Check, CheckedGuest } from './checked-guest.ts';
import { expectBytes, expectEqual, expectLeaves, withDump } from './expect.ts';

/** Of the compiled package, where a process that is killed finds what heki itself calls. */
const LIVE = join(import.meta.dirname, '../../../../packages/vmcore/dist/node/live');
/** Makes the guest stand as heki does, and is killed. */
const KILLED = `
const [folder, kind, path] = process.argv.slice(1);
const { keepRunning } = await import(folder + '/keep-running.js');
keepRunning([[kind, { path }]]);
if (kind === 'qmp') (await import(folder + '/qmp.js')).connectQmp(path).execute('stop');
else (await import(folder + '/gdb-stub.js')).connectGdb({ path }).readPhysical();
process.kill(process.pid, 'SIGKILL');
`;
const PATIENCE_MS = 20_000;

/** Reading a guest itself, as it stands where the dump was made; then that it runs again, come what may. */
export async function* live(guest: CheckedGuest): AsyncGenerator<Check> {
  const { running, elf } = guest;
  yield {
    name: 'qmp:',
    run: () =>
      withDump(`qmp:${running.liveQmp}`, (core) => {
        expectLeaves(core, guest);
        withDump(elf, ({ cpus }) => expectEqual('registers', text(core.cpus), text(cpus)));
      }),
  };
  if (running.ramFile !== undefined) {
    const ram = running.ramFile;
    yield {
      name: 'the file of its RAM',
      run: () =>
        withDump(ram, (core) => {
          expectLeaves(core, guest);
          expectBytes(core, guest, 0.01);
        }),
    };
  }
  yield {
    name: 'gdb:, after which it runs',
    async run() {
      withDump(`gdb:${running.gdbSocket}`, (core) => {
        expectLeaves(core, guest);
        withDump(elf, ({ cpus }) => {
          const told = cpus.map((cpu) => ({ ...cpu, kernelGsBase: undefined }));
          expectEqual('registers', withRights(text(core.cpus)), withRights(text(told)));
        });
      });
      await expectRunning(running.qmp);
    },
  };
  for (const [kind, path] of [
    ['qmp', running.liveQmp],
    ['gdb', running.gdbSocket],
  ] as const) {
    yield {
      name: `runs when heki is killed (${kind}:)`,
      async run() {
        const { signal, stderr } = spawnSync(
          process.execPath,
          ['--input-type=module', '-e', KILLED, LIVE, kind, path],
          { encoding: 'utf8' },
        );
        if (signal !== 'SIGKILL') throw new Error(`the process was not killed: ${stderr}`);
        await expectRunning(running.qmp);
      },
    };
  }
}

function text(value: unknown): string {
  return JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? one.toString(16) : one));
}

/** Of a segment's flags, the monitor prints bits 23:8, the access rights; the note has what else is in the word. */
function withRights(cpus: string): string {
  return cpus.replace(
    /"flags":(\d+)/g,
    (_, flags: string) => `"flags":${Math.floor(Number(flags) / 256) % 2 ** 16}`,
  );
}

async function expectRunning(qmp: Qmp): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const { running, status } = Object(await qmp.execute('query-status'));
    if (running === true) return;
    if (Date.now() > deadline) throw new Error(`the guest still stands after ${PATIENCE_MS} ms: ${status}`);
    await delay(100);
  }
}
