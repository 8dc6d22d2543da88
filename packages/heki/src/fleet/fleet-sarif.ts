import { SEVERITIES } from '@heki/audit';
import type { ResultFinding, StoredResult } from '@heki/fleet';
import { SARIF_LEVELS, sarifLog, sarifRuleIndex } from '../audit/audit-sarif.ts';

/** Results in SARIF 2.1.0, piece by piece: one run, whose results are the findings of all guests. */
export async function* fleetSarif(
  results: AsyncIterable<StoredResult>,
  version: string,
): AsyncGenerator<string> {
  const mark = 'heki:results';
  const [head = '', tail = ''] = JSON.stringify(sarifLog('heki fleet', version, [mark])).split(`"${mark}"`);
  yield head;
  let before = '';
  for await (const result of results) {
    for (const finding of result.findings) {
      // Of kinds that this version does not know, from another one, it has no rule.
      if (sarifRuleIndex(finding.id) < 0) continue;
      yield before + JSON.stringify(sarifResult(result, finding));
      before = ',\n';
    }
  }
  yield `${tail}\n`;
}

function sarifResult({ item, id: report }: StoredResult, finding: ResultFinding): object {
  const { id, severity, summary, fingerprint } = finding;
  const known = SEVERITIES.find((one) => one === severity) ?? 'info';
  // GitHub takes relative names alone.
  const uri = item.source.uri
    .split('/')
    .filter((part) => part !== '')
    .map(encodeURIComponent)
    .join('/');
  return {
    ruleId: id,
    ruleIndex: sarifRuleIndex(id),
    level: SARIF_LEVELS[known],
    message: { text: summary },
    locations: [{ physicalLocation: { artifactLocation: { uri }, region: { startLine: 1 } } }],
    partialFingerprints: { 'heki/v1': `${uri}|${fingerprint}` },
    properties: { report },
  };
}
