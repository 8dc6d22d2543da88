import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { run } from '../run.ts';
import { JSON_SHAPES } from '../testing/json-shapes.ts';
import { fixturePath, projectFile, runCommand } from '../testing/run-command.ts';

const SOUND = fixturePath('k61-256-nokaslr');
let folder = '';
let guest = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heki-watch-'));
  guest = join(folder, 'guest.elf.gz');
  copyFileSync(SOUND, guest);
});
afterEach(() => rmSync(folder, { recursive: true }));

type WatchLine = ReturnType<typeof JSON_SHAPES.watch.parse>;

/** Watches the guest; `on` is told of each event, and may end the watch. */
async function watched(args: readonly string[], on: (line: WatchLine, end: () => void) => void) {
  const controller = new AbortController();
  const lines: WatchLine[] = [];
  const output = (tell: (text: string) => void) => ({
    write: (data: string | Uint8Array) => {
      tell(String(data));
      return Promise.resolve();
    },
    isTerminal: false,
    columns: undefined,
  });
  const exitCode = await run(['watch', guest, '--every', '10ms', '--json', ...args], {
    stdout: output((text) => {
      for (const one of text.trim().split('\n')) {
        const line = JSON_SHAPES.watch.parse(JSON.parse(one));
        lines.push(line);
        on(line, () => controller.abort());
      }
    }),
    stderr: output((text) => {
      throw new Error(text);
    }),
    env: {},
    interrupt: () => controller.signal,
  });
  return { exitCode, lines };
}

test('text that can be written from one moment to the next is an alarm, once, until it is over', async () => {
  const { exitCode, lines } = await watched([], ({ event, kind }, end) => {
    if (event === 'start') copyFileSync(fixturePath('k61-256-tampered-text-alias'), guest);
    if (event === 'alarm' && kind === 'finding') copyFileSync(SOUND, guest);
    if (event === 'over') end();
  });
  expect(exitCode).toBe(1);
  const alarms = lines.filter(({ event }) => event === 'alarm');
  expect(alarms.map(({ kind }) => kind)).toEqual(['sealed', 'finding']);
  expect(alarms[0]?.text).toBe('guest-physical 0x1000000-0x11fffff: r-x became rwx');
  expect(alarms[1]?.id).toBe('heki/wx-alias|direct map rw-, kernel text +0x0..+0x200000 r-x');
  expect(lines.at(-1)).toMatchObject({ event: 'end', alarms: 2 });
});

test('--until-finding ends with the first alarm', async () => {
  const { exitCode, lines } = await watched(['--until-finding'], ({ event }) => {
    if (event === 'start') copyFileSync(fixturePath('k61-256-tampered-text-alias'), guest);
  });
  expect(exitCode).toBe(1);
  expect(lines.at(-1)?.event).toBe('end');
});

test('Ctrl-C ends it with 0 when nothing changed', async () => {
  const { exitCode, lines } = await watched([], (_, end) => end());
  expect(exitCode).toBe(0);
  expect(lines.map(({ event }) => event)).toEqual(['start', 'end']);
});

test('what a reader must know of the first moment is told with the start', async () => {
  copyFileSync(projectFile('fixtures/formats/kdump-makedumpfile.gz'), guest);
  const { lines } = await watched([], (_, end) => end());
  expect(lines[0]?.warnings?.map(({ id }) => id)).toContain('protections-not-checked');
});

test('another boot is told, and is not an alarm', async () => {
  const { exitCode, lines } = await watched([], ({ event }, end) => {
    if (event === 'start') copyFileSync(fixturePath('k61-256-kaslr'), guest);
    if (event === 'reboot') end();
  });
  expect(exitCode).toBe(0);
  expect(lines.map(({ event }) => event)).toEqual(['start', 'reboot', 'end']);
});

test('a file that is away for a moment is told, and watched again', async () => {
  const { exitCode, lines } = await watched([], ({ event }, end) => {
    if (event === 'start') rmSync(guest);
    if (event === 'unreadable') {
      copyFileSync(SOUND, guest);
      end();
    }
  });
  expect(exitCode).toBe(0);
  expect(lines.map(({ event }) => event)).toEqual(['start', 'unreadable', 'end']);
  expect(lines[1]?.text).toContain('no such file');
});

test('a moment that cannot be read is told; three in a row end it with 3', async () => {
  const lines: string[] = [];
  const controller = new AbortController();
  const output = {
    write: (data: string | Uint8Array) => {
      lines.push(String(data));
      if (lines.length === 1) writeFileSync(guest, 'no dump');
      return Promise.resolve();
    },
    isTerminal: false,
    columns: undefined,
  };
  const exitCode = await run(['watch', guest, '--every', '10ms'], {
    stdout: output,
    stderr: output,
    env: {},
    interrupt: () => controller.signal,
  });
  expect(exitCode).toBe(3);
  expect(lines.filter((line) => line.includes('cannot be read')).length).toBeGreaterThanOrEqual(2);
});

test.each(['1', '5h', '1ms', '-1s'])('refuses --every %s', async (every) => {
  const { exitCode, stderr } = await runCommand(['watch', guest, '--every', every]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain('Expected a time');
});
