import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Counterexample } from '@heki/explore';
import { OutputError } from '../failure.ts';
import { fileErrorText } from '../file-error.ts';
import { writeFiles } from '../output-file.ts';
import type { ExploredMachine } from './explored-machine.ts';
import { machineCode } from './machine-code.ts';
import type { Explored } from './search-thread.ts';

/**
 * Writes each story into `folder` as a file that `--replay` tells again on the machine that it was found on, and as a test that does so
 * with the published packages. A machine with a hypervisor of the user's own has no test: it is not known where that will be.
 *
 * @throws {OutputError} when the folder cannot be made, or a file is there or cannot be written
 */
export async function writeStories(
  folder: string,
  explored: Explored,
  { title, properties }: Pick<ExploredMachine, 'title' | 'properties'>,
  counterexamples: readonly Counterexample<string>[],
  overwrite: boolean,
): Promise<void> {
  try {
    // Not with the folders above: where one can have none in it, as in /proc, Node tries for ever.
    await mkdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      throw new OutputError(fileErrorText(error) ?? String(error), { file: folder }, error);
  }
  const files = counterexamples.flatMap(({ property, actions }) => {
    const says = properties.find(({ id }) => id === property)?.says ?? property;
    const story: ToldStory = { property, says, actions };
    const path = join(folder, fileName(explored, property));
    const test = testOf(explored, title, story);
    return [
      [`${path}.json`, storyFile(explored, title, story)] as const,
      ...(test === undefined ? [] : [[`${path}.test.mjs`, test] as const]),
    ];
  });
  await writeFiles(
    files.map(([path, text]) => ({ path, chunks: [Buffer.from(text)] })),
    overwrite,
  );
}

interface ToldStory {
  readonly property: string;
  readonly says: string;
  readonly actions: readonly string[];
}

/** `kvm-B-H1-P2`: the machine, what of it was chosen, and the property. */
function fileName({ name, flags }: Explored, property: string): string {
  const { profile, defect = {}, mbec, cpu } = flags;
  const chosen = Object.entries(defect).map(([id, on]) => (on ? id : `no-${id}`));
  return [basename(name), profile, ...chosen, mbec === false ? 'no-mbec' : undefined, cpu, property]
    .filter((part) => part !== undefined)
    .join('-');
}

function storyFile({ name, flags, without }: Explored, title: string, story: ToldStory): string {
  const { property, says, actions } = story;
  const { profile, defect, mbec, cpu } = flags;
  const chosen = { profile, defect, mbec: mbec === false ? false : undefined, cpu };
  const properties = [{ id: property, says, story: actions }];
  return `${JSON.stringify({ machine: name, title, options: { ...chosen, without }, properties }, undefined, 2)}\n`;
}

function testOf(
  explored: Explored,
  title: string,
  { property, says, actions }: ToldStory,
): string | undefined {
  const made = machineCode(explored);
  if (made === undefined) return undefined;
  const imports = Object.entries({ ...made.imports, vitest: ['expect', 'test'] })
    .map(([from, names]) => `import { ${names.join(', ')} } from '${from}';\n`)
    .join('');
  const story = actions.map((line) => `  ${JSON.stringify(line)},\n`).join('');
  const name = `${property} falls: ${says}`;
  return `// A shortest story, found by heki explore, on ${title}. Where what it shows is mended, no property falls: the
// list of what is broken is empty.
${imports}
const machine = ${made.expression};

const story = [
${story}];

test(${JSON.stringify(name)}, () => {
  const { steps, broken } = replay(machine, story);
  expect(steps).toBe(story.length);
  expect(broken).toContain(${JSON.stringify(property)});
});
`;
}
