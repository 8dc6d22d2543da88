import { readFileSync } from 'node:fs';

/** Values of the formula's constants, by name; one that is not named is 0. */
export type Values = ReadonlyMap<string, bigint>;

/** Models of a run by the truths that they have, a digit for each. */
export type Models = ReadonlyMap<string, Values>;

/** A line for each model, in the order of their truths. */
export function textOf(models: Models): string {
  const lines = [...models].map(([truths, values]) => {
    const named = [...values]
      .filter(([, value]) => value !== 0n)
      .sort(([one], [other]) => (one < other ? -1 : 1));
    return [truths, ...named.map(([name, value]) => `${name}=0x${value.toString(16)}`)].join(' ');
  });
  return `${lines.sort().join('\n')}\n`;
}

/** The models of a run that `page-list.long.test.ts` keeps; none where it has not made them yet. */
export function keptModels(run: string): Models {
  let text: string;
  try {
    text = readFileSync(modelsFile(run), 'utf8');
  } catch {
    return new Map();
  }
  return new Map(
    text
      .trimEnd()
      .split('\n')
      .map((line) => {
        const [truths = '', ...named] = line.split(' ');
        return [truths, new Map(named.map(valueIn))];
      }),
  );
}

export const modelsFile = (run: string): URL => new URL(`models/${run}.txt`, import.meta.url);

function valueIn(text: string): [name: string, value: bigint] {
  const [name = '', value = ''] = text.split('=');
  return [name, BigInt(value)];
}
