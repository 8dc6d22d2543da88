import { MODULE_PART_KINDS, PLACE_REGIONS } from '@heki/symbols';
import { z } from 'zod';
import { hex } from './report.ts';

/** Places in a kernel, and what translates their addresses. */

export const regionOfPlace = z.enum(PLACE_REGIONS);
export const partOfModule = z.enum(MODULE_PART_KINDS);
export const inModule = z.strictObject({ name: z.string().min(1), part: partOfModule });
const namedPlace = {
  region: regionOfPlace,
  module: inModule.nullable().describe('The module that it lies in, and which part of it'),
  symbol: z
    .strictObject({ name: z.string().min(1), offset: hex })
    .nullable()
    .describe('The symbol that the address lies in or behind; null where none is known'),
};
export const placeInKernel = z.strictObject({
  ...namedPlace,
  aliasOf: z
    .strictObject({ va: hex, ...namedPlace, aliasOf: z.null() })
    .nullable()
    .describe("In the direct map: where the kernel's image has the same byte"),
});

export const tables = z.looseObject({
  root: hex,
  levels: z.literal([4, 5]),
  from: z.string().min(1),
  proven: z.boolean().describe('They proved to be those of the kernel'),
});

export const outcome = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('mapped'),
    gpa: hex,
    size: z.string(),
    rights: z.looseObject({ user: z.boolean(), writable: z.boolean(), executeDisable: z.boolean() }),
  }),
  z.strictObject({
    kind: z.literal('page-fault'),
    errorCode: hex,
    address: hex,
    denials: z.array(z.looseObject({ text: z.string().min(1) })),
  }),
  z.strictObject({ kind: z.literal('general-protection'), reason: z.enum(['non-canonical', 'lass']) }),
  z.strictObject({ kind: z.literal('absent-table'), level: z.int(), address: hex }),
  z.strictObject({ kind: z.literal('second-level'), at: z.string(), gpa: hex }),
]);
