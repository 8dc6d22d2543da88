import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete';
import { placeAt } from './place.ts';
import { fitting, type Schema, schemasAt, valuesOf } from './schema.ts';

/** What can be written there, by the schema: names of properties, or values. */
export function completeBy(root: Schema) {
  return ({ state, pos, explicit }: CompletionContext): CompletionResult | null => {
    const text = state.doc.toString();
    const place = placeAt(text, pos);
    if (place === undefined || (!explicit && place.from === pos)) return null;
    const schemas = schemasAt(root, place.path);
    const options = place.isName
      ? namesOf(fitting(schemas, place.beside), place.beside, text.slice(place.to))
      : optionsOf(schemas);
    if (options.length === 0) return null;
    return { from: place.from, to: place.to, options, validFor: /^"?[\w-]*"?$/ };
  };
}

function namesOf(
  schemas: readonly Schema[],
  beside: ReadonlyMap<string, unknown>,
  behind: string,
): Completion[] {
  const found = new Map<string, Completion>();
  for (const { properties = {}, required = [] } of schemas) {
    for (const [name, schema] of Object.entries(properties)) {
      if (beside.has(name) || found.has(name)) continue;
      const label = JSON.stringify(name);
      found.set(name, {
        label,
        type: 'property',
        apply: /^\s*:/.test(behind) ? label : `${label}: `,
        boost: required.includes(name) ? 1 : 0,
        ...about(schema),
      });
    }
  }
  return [...found.values()];
}

function optionsOf(schemas: readonly Schema[]): Completion[] {
  const found = new Map<string, Completion>();
  for (const schema of schemas) {
    const values = valuesOf(schema);
    const texts =
      values?.map((value) => JSON.stringify(value)) ??
      (schema.type === 'object' ? ['{}'] : schema.type === 'array' ? ['[]'] : []);
    for (const label of texts)
      if (!found.has(label)) found.set(label, { label, type: 'enum', ...about(schema) });
  }
  return [...found.values()];
}

/** What the schema says of it, beside the list. */
function about({ description, type }: Schema): Pick<Completion, 'detail' | 'info'> {
  return {
    ...(type !== undefined && { detail: type }),
    ...(description !== undefined && { info: description }),
  };
}
