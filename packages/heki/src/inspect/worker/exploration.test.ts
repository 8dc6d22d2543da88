import { describe, expect, test } from 'vitest';
import { runCommand } from '../../testing/run-command.ts';
import { explorationOf } from './exploration.ts';

describe('what a search found', () => {
  test('is what heki explore --json printed, with the story of each property that fell', async () => {
    const { stdout } = await runCommand(['explore', '--machine', 'abstract-ask', '--depth', '4', '--json']);
    const printed = JSON.parse(stdout);
    const { machine, title, properties } = explorationOf(stdout);
    expect([machine, title]).toEqual([printed.machine, printed.title]);
    expect(properties.map(({ id, story }) => [id, story ?? undefined])).toEqual(
      printed.properties.map(({ id, story }: { id: string; story?: string[] }) => [id, story]),
    );
    expect(properties.some(({ story }) => story !== null)).toBe(true);
  });

  test('is refused where it is none, and shows nothing raw of what a stranger wrote', () => {
    expect(() => explorationOf('[')).toThrow('the report');
    expect(() => explorationOf('{"properties":[{"id":1}]}')).toThrow('properties');
    const hostile = explorationOf(JSON.stringify({ properties: [{ id: 'A', story: ['\u001b[31mred'] }] }));
    expect(hostile.properties[0]?.story?.[0]).not.toContain('\u001b');
  });
});
