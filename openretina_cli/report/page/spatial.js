// --- spatial: the pictures of a stimulus, with their scales ---

const COLOR_BAR = 44; // least height at which its numbers do not touch
const PICTURE = { above: 16, below: 15 }; // room for the channel's name, and for the scale bar

/** Spatial components side by side, with a scale bar in um where the pixel size is known. */
function drawSpatial(canvas, run, pictures, width, height, { bar = false, gap = 12 } = {}) {
  const context = contextOf(canvas, width, height);
  const { channels, columns, rows } = pictures,
    top = PICTURE.above,
    below = PICTURE.below,
    side = bar ? 58 : 0;
  const room = (width - side - gap * (channels.length - 1)) / channels.length;
  const scale = Math.min(room / columns, (height - top - below) / rows);
  context.imageSmoothingEnabled = false;
  channels.forEach((channel, index) => {
    const left = index * (columns * scale + gap);
    context.drawImage(imageOf(channel.spatial, columns, rows), left, top, columns * scale, rows * scale);
    context.strokeStyle = colors.line;
    context.strokeRect(left + 0.5, top + 0.5, columns * scale - 1, rows * scale - 1);
    context.fillStyle = lineColor(channel.color);
    context.textAlign = "left";
    context.fillText(fit(context, channel.name, columns * scale), left, top - 5);
  });
  drawScaleBar(context, run, pictures, columns * scale, top + rows * scale + 5);
  if (bar) drawColorBar(context, channels.length * (columns * scale + gap) + 4, top, Math.max(rows * scale, COLOR_BAR));
}

/** A text cut to a width. */
function fit(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let length = text.length;
  while (length > 1 && context.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
  return `${text.slice(0, length)}…`;
}

function drawScaleBar(context, run, pictures, pictureWidth, y) {
  const { pixelSize } = run.setup;
  if (!pixelSize) return;
  const length = scaleBarLength(pictures.columns * pictures.block * pixelSize);
  const end = (length / (pictures.columns * pictures.block * pixelSize)) * pictureWidth;
  context.fillStyle = colors.text;
  context.fillRect(0, y, end, 2);
  context.textAlign = "left";
  context.fillText(`${length} µm`, end + 5, y + 5);
}

function drawColorBar(context, left, top, height) {
  for (let row = 0; row < height; row += 1) {
    context.fillStyle = `rgb(${divergingColor(1 - (2 * row) / height)
      .map(Math.round)
      .join(",")})`;
    context.fillRect(left, top + row, 9, 1.5);
  }
  context.fillStyle = colors.muted;
  context.textAlign = "left";
  [
    ["1", 0],
    ["0", 0.5],
    ["−1", 1],
  ].forEach(([text, share]) => context.fillText(text, left + 14, top + 4 + share * height));
}
