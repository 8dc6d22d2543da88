import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openInspectedSource } from '../inspect/inspected-source.ts';
import { storyPlace } from '../inspect/story-place.ts';
import { fixturePath, runCommand } from '../testing/run-command.ts';

const scratch = mkdtempSync(join(tmpdir(), 'heki-inspect-'));
afterAll(() => rmSync(scratch, { recursive: true }));

describe('heki inspect', () => {
  test('refuses what the other commands refuse, in their words, before it serves anything', async () => {
    const text = join(scratch, 'notes.txt');
    writeFileSync(text, 'no dump');
    for (const path of [text, join(scratch, 'missing')]) {
      const inspected = await runCommand(['inspect', '--no-open', path]);
      const walked = await runCommand(['walk', path]);
      expect(inspected.exitCode).toBe(3);
      expect(inspected.stderr).toBe(walked.stderr);
    }
  });

  test('serves a dump unpacked, with the JSON that stands beside it', async () => {
    const { served, parts } = await openInspectedSource(fixturePath('k61-256-kaslr'));
    expect(served.name).toBe('k61-256-kaslr.elf.gz');
    expect(served.sidecar?.name).toBe('k61-256-kaslr.json');
    expect(served.parts).toEqual([{ url: 'source/0', size: parts[0]?.size }]);
    const magic = new Uint8Array(4);
    parts[0]?.read(0, magic);
    expect([...magic]).toEqual([0x7f, 0x45, 0x4c, 0x46]);
  });

  test('writes a site into a new folder alone, and none that would give away a dump', async () => {
    const there = await runCommand(['inspect', '--static', scratch]);
    expect(there.exitCode).toBe(1);
    expect(there.stderr).toContain('is there already: expected a new folder');
    const folder = join(scratch, 'site');
    const withDump = await runCommand(['inspect', fixturePath('k61-256-kaslr'), '--static', folder]);
    expect(withDump.exitCode).toBe(2);
    expect(existsSync(folder)).toBe(false);
  });

  test('begins with a story: of a search, of attacks, or a scenario', async () => {
    const explored = await runCommand([
      ...['explore', '--machine', 'abstract-ask', '--depth', '4', '--json'],
    ]);
    const attacked = await runCommand([
      ...['attack', 'store-text', 'store-text-after-pte-edit', '--machine', 'no-heki', 'hardened', '--json'],
    ]);
    const scenario = '{ "machine": { "memory": "64MiB" }, "steps": [] }';
    const [found, attacks, life] = [explored.stdout, attacked.stdout, scenario].map((text, index) => {
      const file = join(scratch, `story-${index}.json`);
      writeFileSync(file, text);
      return file;
    });
    expect(await storyPlace(found ?? '')).toBe(`attacks?${new URLSearchParams({ report: explored.stdout })}`);
    expect(await storyPlace(attacks ?? '')).toBe(
      'attacks?attack=store-text-after-pte-edit&left=no-heki&right=hardened',
    );
    expect(await storyPlace(life ?? '')).toBe(`time?${new URLSearchParams({ scenario })}`);
  });

  test('says of what is no story what it expected, before it serves anything', async () => {
    const file = join(scratch, 'no-story.json');
    const refusals = [
      ['{}', 'expected what heki explore --json or heki attack --json printed, or a scenario'],
      ['[', 'not JSON'],
      ['{ "properties": [{}] }', 'properties.0.id'],
      ['{ "steps": [{ "do": "nothing" }] }', 'no-story.json'],
      ['{ "steps": [], "include": ["other.json"] }', 'no other files are read in a page'],
    ] as const;
    for (const [text, message] of refusals) {
      writeFileSync(file, text);
      const { exitCode, stdout, stderr } = await runCommand(['inspect', '--no-open', '--story', file]);
      expect([exitCode, stdout], text).toEqual([3, '']);
      expect(stderr).toContain(message);
    }
    const both = await runCommand(['inspect', '--static', join(scratch, 'never'), '--json']);
    expect(both.exitCode).toBe(2);
  });
});
