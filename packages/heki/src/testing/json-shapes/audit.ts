import { SEVERITIES } from '@heki/audit';
import { REGION_NAMES } from '@heki/vmcore';
import { z } from 'zod';
import { hex, letters, profile } from './report.ts';

/** What `heki audit` finds, and what Heki would do. */

export const severity = z.enum(SEVERITIES);
export const rights = z
  .string()
  .regex(/^r[w-][x-]u?$/)
  .describe('u: user mode may, too');

export const auditFinding = z.strictObject({
  id: z
    .string()
    .regex(/^heki\/[a-z-]+$/)
    .describe('Names the kind, and stays the same'),
  severity,
  title: z.string().min(1),
  summary: z.string().min(1).describe('One sentence about this kernel'),
  explanation: z.string().min(1),
  advice: z.string().min(1),
  pages: z.int().min(0),
  ranges: z
    .array(z.strictObject({ start: hex, end: hex.describe('One past the last byte') }))
    .describe('Physical addresses, ascending; none with --redact'),
  aliases: z
    .array(
      z.strictObject({
        start: hex.optional().describe('Virtual address; not with --redact'),
        end: hex.optional().describe('One past the last byte'),
        physical: hex.optional().describe('Where the first address leads'),
        pages: z.int().min(1),
        region: z.enum([...REGION_NAMES, "user mode's half"]),
        symbol: z
          .string()
          .optional()
          .describe('What lies at the first address, in the image or a module; not with --redact'),
        leaf: rights.describe('What the leaf entries alone say'),
        effective: rights.describe('What all levels together allow'),
      }),
    )
    .describe('Every mapping of the pages, in runs'),
  aliasesLeftOut: z.int().min(0).describe('Mappings that were too many to list'),
  fingerprint: z.string().min(1).describe('The same after another boot of the same kernel'),
  accepted: z.string().nullable().describe('Why a baseline accepts it'),
  fails: z.boolean().describe('It makes the exit code 1'),
});

export const comparedPart = z.strictObject({
  bytes: z.int().min(0),
  compared: z.int().min(0).describe('The others the dump does not have'),
  differing: z.int().min(0),
  explained: z.record(z.string(), z.int().min(0)).describe('Bytes that Linux writes itself, by why'),
  unexplained: z.int().min(0),
});

export const comparedText = z.strictObject({
  ...comparedPart.shape,
  kprobes: z.int().min(0).describe('Registered in the code that was compared'),
  updatedStaticCalls: z
    .array(
      z.strictObject({
        name: z.string().nullable().describe('Of the call; null where the image does not name its key'),
        leadsTo: z.string().nullable().describe('A function, "nothing", or null out of the image'),
      }),
    )
    .describe(
      "Calls that lead to what the guest's memory alone names: whether Linux led them there was not judged",
    ),
});

export const comparedModules = z.strictObject({
  modules: z.int().min(1).describe('Compared with their files'),
  compared: z.int().min(0).describe('Bytes of their code and constants'),
  differing: z.int().min(0),
  unexplained: z.int().min(0),
  leftOut: z.array(z.string()).describe('Loaded, but not compared: the package has no file of that build'),
});

const leafCounts = z.strictObject({ '1G': z.int(), '2M': z.int(), '4K': z.int() });

export const hekiSummary = z.strictObject({
  hypervisor: z.string(),
  profile,
  inForce: z.boolean(),
  refusal: z.string().optional(),
  hypercalls: z.int(),
  listPages: z.int(),
  ranges: z.int(),
  pages: z.record(letters, z.int()).describe('Pages by the permissions that the kernel asks for'),
  immutablePages: z.int(),
  protected: z
    .array(z.strictObject({ start: hex, end: hex, permissions: letters, immutable: z.boolean() }))
    .describe('Physical ranges as the kernel asked for them; none with --redact'),
  leaves: z
    .strictObject({ before: leafCounts, after: leafCounts, lost: leafCounts.omit({ '4K': true }) })
    .describe('Of the second level, when it uses the largest leaf that rights and alignment allow'),
  missingPages: z.int().describe('Granted less than a mapping allows: the kernel breaks there'),
  beyondPages: z.int().describe('Granted more than any mapping allows'),
  unenforceablePages: z.int().describe('Granted execution that the hypervisor cannot withhold'),
  work: z.array(
    z.strictObject({
      id: z.string(),
      title: z.string(),
      outcome: z.enum(['works', 'refused', 'breaks']),
      pages: z.int().describe('That it needs'),
      shut: z.int().describe('Of them, those that no request opens, or that lack a right'),
      why: z.string(),
    }),
  ),
  open: z
    .array(z.strictObject({ id: z.string(), text: z.string() }))
    .describe('What an attacker can still do'),
  readiness: z.string().min(1).describe('One line for people'),
  unjudged: z.boolean().describe('No outside implementation has judged the model of the hypervisor'),
});
