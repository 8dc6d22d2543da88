import { markdownTable, type Page } from './page.ts';
import { printed } from './printed.ts';

type ClaimedBy = Readonly<Record<'hardened' | 'rfc-v2', readonly string[]>>;

/** Who claims to stop which attack. */
export const verdictsPage: Page = { file: 'docs/verdicts.md', parts: { claims } };

async function claims(): Promise<string> {
  const { attacks }: { attacks: readonly { name: string; claimedBy: ClaimedBy }[] } = JSON.parse(
    await printed(['protect', '--json']),
  );
  const { steps }: { steps: readonly { step: { do: string; how?: string }; claimedBy?: ClaimedBy }[] } =
    JSON.parse(await printed(['boot', '--scenario', 'examples/boot-attacks/scenario.json', '--json']));
  const living = steps.flatMap(({ step, claimedBy }) =>
    step.how === undefined || claimedBy === undefined ? [] : [{ name: step.how, claimedBy }],
  );
  const all = new Map([...attacks, ...living].map(({ name, claimedBy }) => [name, claimedBy]));
  return markdownTable(
    ['attack', 'claimed under `hardened` by', 'claimed under `rfc-v2` by'],
    [...all]
      .filter(([name]) => name !== 'store-data')
      .map(([name, claimedBy]) => [
        `\`${name}\``,
        machines(claimedBy.hardened),
        machines(claimedBy['rfc-v2']),
      ]),
  );
}

const WITHOUT = ', no MBEC';

/** Each hypervisor once: what it claims with mode-based execute control alone is said. */
function machines(names: readonly string[]): string {
  const words = names
    .filter((name) => !name.endsWith(WITHOUT))
    .map((name) => `\`${name}\`${names.includes(`${name}${WITHOUT}`) ? '' : ' with MBEC'}`);
  return words.length === 0 ? 'none' : words.join(', ');
}
