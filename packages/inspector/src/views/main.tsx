import { render } from 'preact';
import type { AuditPage } from '../report/audit-page.ts';
import { reportModel } from '../report/report-model.ts';
import { Report } from './report.tsx';

const data = document.getElementById('heki-data')?.textContent ?? '';
const root = document.getElementById('report');
if (root !== null) {
  const page: AuditPage = JSON.parse(data);
  root.replaceChildren();
  render(<Report model={reportModel(page)} />, root);
}
