import { CompletionContext } from '@codemirror/autocomplete';
import { EditorState } from '@codemirror/state';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { completeBy } from './complete.ts';
import { placeAt } from './place.ts';
import type { Schema } from './schema.ts';

const SCHEMA: Schema = {
  type: 'object',
  properties: {
    machine: {
      type: 'object',
      properties: {
        profile: { enum: ['rfc-v2', 'hardened'], description: 'which series' },
        mbec: { type: 'boolean' },
        defects: { type: 'object', additionalProperties: { type: 'boolean' } },
      },
    },
    steps: { type: 'array', items: { $ref: '#/$defs/step' } },
  },
  $defs: {
    step: {
      oneOf: [
        {
          type: 'object',
          properties: { do: { const: 'load-module' }, name: { type: 'string' } },
          required: ['do', 'name'],
          additionalProperties: false,
        },
        {
          type: 'object',
          properties: { do: { const: 'attack' }, how: { enum: ['store-text', 'dma'] } },
          required: ['do'],
          additionalProperties: false,
        },
      ],
    },
  },
};

/** What is offered at `|`, and the text that it replaces. */
function offered(marked: string): { readonly labels: readonly string[]; readonly replaces: string } {
  const pos = marked.indexOf('|');
  const doc = marked.replace('|', '');
  const state = EditorState.create({ doc });
  const found = completeBy(SCHEMA)(new CompletionContext(state, pos, true));
  return {
    labels: found?.options.map(({ label }) => label) ?? [],
    replaces: found === null ? '' : doc.slice(found.from, found.to),
  };
}
const labels = (marked: string): readonly string[] => offered(marked).labels;

describe('what can be written in a scenario', () => {
  test('is a name of the object around it, but for those that are there', () => {
    expect(labels('{ | }')).toEqual(['"machine"', '"steps"']);
    expect(labels('{ "machine": {}, | }')).toEqual(['"steps"']);
    expect(labels('{ "machine": { | } }')).toEqual(['"profile"', '"mbec"', '"defects"']);
    expect(offered('{ "mach|" }')).toEqual({ labels: ['"machine"', '"steps"'], replaces: '"mach"' });
    expect(labels('{ "machine": { "pro|": "hardened" } }')).toContain('"profile"');
  });

  test('is a value that its name takes, complete or not', () => {
    expect(labels('{ "machine": { "profile": | } }')).toEqual(['"rfc-v2"', '"hardened"']);
    expect(offered('{ "machine": { "profile": "r|" } }').replaces).toBe('"r"');
    expect(labels('{ "machine": { "mbec": | } }')).toEqual(['true', 'false']);
    expect(labels('{ "machine": { "defects": { "B-H1": | } } }')).toEqual(['true', 'false']);
    expect(labels('{ "steps": | }')).toEqual(['[]']);
  });

  test('is what the other fields of a step leave', () => {
    expect(labels('{ "steps": [{ "do": "|" }] }')).toEqual(['"load-module"', '"attack"']);
    expect(labels('{ "steps": [{ "do": "attack", | }] }')).toEqual(['"how"']);
    expect(labels('{ "steps": [{ "do": "attack" }, { "do": "load-module", | }] }')).toEqual(['"name"']);
    expect(labels('{ "steps": [{ "do": "attack", "how": "|" }] }')).toEqual(['"store-text"', '"dma"']);
    expect(labels('{ "steps": [{ "how": "dma", "do": | }] }')).toEqual(['"attack"']);
    expect(labels('{ "steps": [ | ] }')).toEqual(['{}']);
  });

  test('is offered in any text, however broken', () => {
    const text = fc.string({
      unit: fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '"do"', '"steps"', ' ', 'x'),
    });
    fc.assert(
      fc.property(text, text, (before, behind) => {
        const { from, to } = placeAt(before + behind, before.length) ?? { from: 0, to: before.length };
        expect(from).toBeLessThanOrEqual(before.length);
        expect(to).toBeGreaterThanOrEqual(before.length);
        offered(`${before}|${behind}`);
      }),
    );
  });

  test('is nothing where the schema says nothing', () => {
    expect(labels('{ "unknown": { | } }')).toEqual([]);
    expect(labels('{ "steps": [{ "do": "load-module", "name": "|" }] }')).toEqual([]);
    expect(labels('{ "machine": {} |')).toEqual([]);
  });
});
