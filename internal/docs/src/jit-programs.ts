import { readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { acceptProgram } from '@heki/code-authority';
import { markdownTable } from './page.ts';

/** What internal/guests has read out of a guest's memory: what its JIT made of each program, and the kernel's functions that these lead to. */
interface JitFixture {
  /** The line of /proc/version. */
  readonly kernel: string;
  readonly about: string;
  readonly thisCpuOff: string;
  readonly functions: Readonly<Record<string, string>>;
  readonly programs: readonly { readonly name: string; readonly address: string; readonly bytes: string }[];
}

const FOLDER = 'fixtures/jit';
const DRAWN_FROM = { secret: new Uint8Array(32), chain: new Uint8Array(32) };

/** What a refusal says, by what a reader of the page knows of JITs. */
const WHY: readonly (readonly [RegExp, string])[] = [
  [/not blinded|opcode c[67]/, 'a constant that is not blinded'],
  [/opcode b[8-f]/, 'a 64-bit constant in one piece'],
  [/begin with a frame|index register|opcode 83/, 'a tail call'],
  [/displacement/, 'a displacement above 4095'],
  [/privileged instruction/, 'a distance that reads as a privileged instruction'],
];

/** How many programs of real kernels the owner takes as their JIT made them, and why not the others. */
export function jitPrograms(): string {
  const files = readdirSync(FOLDER).filter((file) => file.endsWith('.json.gz'));
  return markdownTable(
    ['kernel', 'programs', 'bytes', 'accepted', 'refused'],
    files.map((file) => {
      const fixture: JitFixture = JSON.parse(gunzipSync(readFileSync(`${FOLDER}/${file}`)).toString());
      const { programs } = fixture;
      const bytes = programs.reduce((sum, program) => sum + Buffer.from(program.bytes, 'base64').length, 0);
      const why = refusals(fixture);
      const refused = [...why].sort(([, a], [, b]) => b - a).map(([text, count]) => `${count}: ${text}`);
      const accepted = programs.length - [...why.values()].reduce((sum, count) => sum + count, 0);
      const release = /^Linux version (\S+)/.exec(fixture.kernel)?.[1] ?? fixture.kernel;
      const title = `${release}, ${fixture.about.replace('compiled eBPF programs, ', '')}`;
      const inEnglish = [programs.length, bytes, accepted].map((count) => count.toLocaleString('en'));
      return [title, ...inEnglish, refused.join('; ')];
    }),
  );
}

function refusals({ thisCpuOff, functions, programs }: JitFixture): Map<string, number> {
  const helpers = Object.entries(functions).filter(([name]) => !name.startsWith('__x86_indirect_'));
  const around = {
    helpers: new Set(helpers.map(([, address]) => BigInt(`0x${address}`))),
    programs: new Set(programs.map(({ address }) => BigInt(`0x${address}`))),
    ownOffset: Number(`0x${thisCpuOff}`),
  };
  const found = new Map<string, number>();
  for (const { address, bytes } of programs) {
    const code = new Uint8Array(Buffer.from(bytes, 'base64'));
    const fault = acceptProgram(code, BigInt(`0x${address}`), around, DRAWN_FROM);
    if (fault === undefined) continue;
    const known = WHY.find(([pattern]) => pattern.test(fault))?.[1];
    if (known === undefined) throw new Error(`no words for ${fault}`);
    found.set(known, (found.get(known) ?? 0) + 1);
  }
  return found;
}
