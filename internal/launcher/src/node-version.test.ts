import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = new URL('../../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, ROOT), 'utf8');

test('the launchers ask for the Node that the manifests ask for', () => {
  const [, major, minor] =
    /OLDEST = \[(\d+), (\d+)\]/.exec(read('internal/launcher/src/node-version.mjs')) ?? [];
  const manifests = readdirSync(fileURLToPath(new URL('packages', ROOT))).map(
    (name) => `packages/${name}/package.json`,
  );
  for (const manifest of ['package.json', ...manifests]) {
    expect(JSON.parse(read(manifest)).engines.node, manifest).toBe(`>=${major}.${minor}`);
  }
  for (const script of ['heki', 'heki.cmd'])
    expect(read(script)).toContain(`Node ${major}.${minor} or newer`);
});
