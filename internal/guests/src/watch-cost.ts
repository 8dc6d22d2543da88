import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { currentKernel } from './kernel-package.ts';
import { bootGuest } from './run-guest.ts';

const SECONDS = 30;
const HEKI = join(import.meta.dirname, '../../../packages/heki/dist/main.js');

/** Prints how long a guest of four CPUs stands while `heki watch` looks at it every second, by QEMU's own events. */
export async function watchCost(folder: string): Promise<void> {
  const guest = await bootGuest(
    {
      name: 'watch',
      about: 'RAM in a file, four CPUs',
      kernel: currentKernel('linux-image-cloud-amd64'),
      cpu: 'max,la57=off',
      cpus: 4,
      memory: '2048M',
      cmdline: '',
      ramInFile: true,
    },
    join(folder, 'run'),
    join(folder, 'kernels'),
  );
  try {
    const stood: number[] = [];
    let since: number | undefined;
    guest.qmp.onEvent((name, microseconds) => {
      if (name === 'STOP') since = microseconds;
      if (name !== 'RESUME' || since === undefined) return;
      stood.push((microseconds - since) / 1000);
      since = undefined;
    });
    const watch = spawn(process.execPath, [HEKI, 'watch', `qmp:${guest.liveQmp}`], { stdio: 'inherit' });
    await delay(SECONDS * 1000);
    watch.kill('SIGINT');
    await once(watch, 'exit');
    // The first moment is read while the guest stands.
    const [first = 0, ...later] = stood;
    later.sort((a, b) => a - b);
    const at = (share: number) => (later[Math.floor(later.length * share)] ?? 0).toFixed(1);
    const share = (100 * later.reduce((sum, one) => sum + one, 0)) / (1000 * later.length);
    console.log(
      `the guest stood ${first.toFixed(1)} ms at first, then ${later.length} times: ${at(0.5)} ms in the median, ${at(0.9)} ms at p90, ${share.toFixed(2)}% of the time`,
    );
  } finally {
    await guest.end();
  }
}
