/** A page that needs nothing else, in light and dark, for what commands write beside their tables. */
import { escapeHtml } from "../core/text.ts";

/** @param style further rules @param body HTML behind the headings */
export const htmlPage = (command: string, title: string, style: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>gureum ${command}: ${escapeHtml(title)}</title>
<style>
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 720px; padding: 0 1em; color: #222; background: #fff; }
h2 { font-size: 1em; margin: 1.5em 0 0.3em; }
pre { overflow-x: auto; background: #f5f5f5; padding: 0.8em; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #161616; } pre { background: #222; } }
${style}
</style>
</head>
<body>
<h1>gureum ${command}</h1>
<p>${escapeHtml(title)}</p>
${body}
</body>
</html>
`;
