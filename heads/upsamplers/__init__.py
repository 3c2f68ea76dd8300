"""Feature upsampling: any frozen backbone's features at any resolution."""
