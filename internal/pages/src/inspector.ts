import { spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const HEKI = fileURLToPath(new URL('../../../packages/heki/dist/main.js', import.meta.url));

/** A `heki inspect` that runs. */
export interface RunningInspector {
  readonly url: string;
  /** The exit code, when it has ended. */
  readonly ended: Promise<number | null>;
  /** Ctrl-C. */
  interrupt(): void;
}

/** Starts `heki inspect`, without opening a browser. */
export async function startInspector(...args: readonly string[]): Promise<RunningInspector> {
  const child = spawn(process.execPath, [HEKI, 'inspect', '--no-open', ...args]);
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
  let [said, wrong] = ['', ''];
  child.stderr.on('data', (text) => {
    wrong += text;
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', (text) => {
      said += text;
      const address = /http:[^\s"]+/.exec(said)?.[0];
      if (address !== undefined) resolve(address);
    });
    child.on('exit', () => reject(new Error(wrong)));
  });
  return { url, ended, interrupt: () => child.kill('SIGINT') };
}

/** What a command prints. */
export function heki(...args: readonly string[]): { readonly stdout: string; readonly stderr: string } {
  return spawnSync(process.execPath, [HEKI, ...args], { encoding: 'utf8', maxBuffer: 2 ** 27 });
}
