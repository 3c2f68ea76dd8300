"""The command ``pixelpretext league``: the same upsamplers on the same networks, by one probe."""
