/** The request that the page shows the answer of, for a shell and for Python. */

/** With curl. */
export function curl({ url, name, fields, withKey }) {
  const lines = ["curl " + url, `-F ${quoted(`image=@"${name.replace(/[\\"]/g, "\\$&")}"`)}`];
  if (withKey) lines.push('-H "X-API-Key: $MASKGRAPH_KEY"');
  for (const [field, value] of fields) lines.push(`-F ${field}=${value}`);
  return lines.join(" \\\n  ");
}

/** With Python's httpx. */
export function python({ url, name, fields, withKey }) {
  const data = fields.map(([field, value]) => `        ${JSON.stringify(field)}: ${JSON.stringify(value)},\n`).join("");
  const key = '    headers={"X-API-Key": os.environ["MASKGRAPH_KEY"]},\n';
  return `${withKey ? "import os\n\n" : ""}import httpx

response = httpx.post(
    ${JSON.stringify(url)},
    files={"image": open(${JSON.stringify(name)}, "rb")},
${data && `    data={\n${data}    },\n`}${withKey ? key : ""}    timeout=60,
)
image = response.raise_for_status().json()["images"][0]
for face in image["faces"]:
    print(face["label"], face["confidence"], face["box"])
`;
}

/** JSON to be read: long strings are cut, with their length. */
export function readable(answer) {
  const cut = (_, value) =>
    typeof value === "string" && value.length > 100 ? `${value.slice(0, 60)}… ${value.length} characters` : value;
  // Boxes and sizes on one line each.
  return JSON.stringify(answer, cut, 2).replace(/[[{]\s+("\w+": )?-?[\d.]+(,\s+("\w+": )?-?[\d.]+)+\s+[\]}]/g, (text) =>
    text.replace(/\s+/g, " "),
  );
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
