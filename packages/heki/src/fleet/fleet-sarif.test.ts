import { readFileSync } from 'node:fs';
import type { StoredResult } from '@heki/fleet';
import Ajv from 'ajv-draft-04';
import addFormats from 'ajv-formats';
import { expect, test } from 'vitest';
import { projectFile } from '../testing/run-command.ts';
import { fleetSarif } from './fleet-sarif.ts';

const finding = (id: string, fingerprint: string) => ({
  ...{ id, severity: 'critical', summary: 'pages <b>\u202e', fingerprint, pages: 1, fails: true },
});

async function* guests(): AsyncGenerator<StoredResult> {
  for (const name of ['a b', 'c:d'])
    yield {
      id: '780713ff-c35a-8252-985a-fca2f45078aa',
      item: {
        source: { uri: `/dumps/${name}`, fingerprint: 'f' },
        ...{ command: 'audit', options: {}, hekiVersion: '1.0.0' },
      },
      ...{ outcome: 'fail', text: 't', worst: 'critical', kernel: undefined, worker: 'w', milliseconds: 1 },
      findings: [finding('heki/wx-alias', 'x'), finding('heki/of-another-version', 'y')],
      finishedAt: new Date(0),
    };
}

test('the findings of all guests are one run of SARIF that keeps to the standard', async () => {
  let text = '';
  for await (const piece of fleetSarif(guests(), '1.0.0')) text += piece;
  const sarif = JSON.parse(text);
  const ajv = new Ajv.default({ strict: false });
  addFormats.default(ajv);
  const schema = readFileSync(projectFile('fixtures/standards/sarif-schema-2.1.0.json'), 'utf8');
  const validate = ajv.compile(JSON.parse(schema));
  expect(validate(sarif), JSON.stringify(validate.errors)).toBe(true);
  const [run] = sarif.runs;
  expect(run.results.map((one: { partialFingerprints: object }) => one.partialFingerprints)).toEqual([
    { 'heki/v1': 'dumps/a%20b|x' },
    { 'heki/v1': 'dumps/c%3Ad|x' },
  ]);
  expect(run.tool.driver.rules[run.results[0].ruleIndex].id).toBe('heki/wx-alias');
});
