import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

const folder = join(import.meta.dirname, '../../../../fixtures');

/** The names of the real kernels' page tables that the project carries. */
export const fixtureNames: readonly string[] = readdirSync(folder)
  .filter((name) => name.endsWith('.elf.gz'))
  .map((name) => name.slice(0, -'.elf.gz'.length));

/** The names of those that were not picked to suit the model. */
export const foreignNames: readonly string[] = readdirSync(join(folder, 'foreign'))
  .filter((name) => name.endsWith('.elf.gz'))
  .map((name) => `foreign/${name.slice(0, -'.elf.gz'.length)}`);

export function fixturePath(name: string): string {
  return join(folder, name);
}

export function inflatedFixture(name: string): Buffer {
  return gunzipSync(readFileSync(fixturePath(name)));
}

/** What NAME.json tells of a fixture, as far as tests ask. */
export interface FixtureFacts {
  readonly cr0: string;
  readonly cr3: string;
  readonly cr4: string;
  readonly efer: string;
  readonly la57: boolean;
  readonly page_table_pages: number;
  readonly kernel: string;
  /** Absent where KASLR did not move the direct map. */
  readonly page_offset_base?: string;
}

export function fixtureFacts(name: string): FixtureFacts {
  return JSON.parse(readFileSync(fixturePath(`${name}.json`), 'utf8'));
}
